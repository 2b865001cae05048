"""Published logs for tests: keys, entries, and a log that has them."""

from firedoor.agent.logsigner import LogSigner
from firedoor.core.evidence.note import NoteSeeds, log_signers
from firedoor.store.tilelog import open_log

ORIGIN = "firedoor.evidence/acme/eu/host1/w0"
SEEDS = NoteSeeds(bytes(range(32)), bytes(range(32, 64)))
NOW = 1_790_000_000_000_000_000


def signer(origin=ORIGIN, seeds=SEEDS, keys=1):
    """The keys of a log: the Ed25519 one, or (`keys` 2) the ML-DSA-44 one too."""
    return LogSigner(log_signers(origin, seeds)[:keys], lambda: NOW)


def entries(start, end):
    return [b'{"entry":%d}' % n + bytes(n % 7) for n in range(start, end)]


def log_of(folder, *sizes, keys=None):
    """A closed log that was published at each of these sizes."""
    log = open_log(folder, keys or signer())
    for size in sizes:
        log.append(entries(log.size, size))
        log.publish()
    log.close()
    return folder
