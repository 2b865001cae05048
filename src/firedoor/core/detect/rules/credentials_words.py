"""Words before passwords, codes, keys and user names: en de fr es it nl pl pt, some Nordic and Czech.

Phrases are separated by commas; a space stands for any of space, ``_`` and ``-``, or for nothing (``api key``,
``api_key``, ``ApiKey``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator


def words_of(table: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(table.split())


def _phrases(phrases: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in phrases.split(","))


PASSWORDS = _phrases(
    """
    password, passwords, passwd, pass word, passward, passwrod, pasword, passworld, pswd, pwd, pw, passphrase, passcode,
    passwort, kennwort, losung, mot de passe, mdp, contraseña, contrasena, clave provisional, clave secreta, clave,
    contraseñas, parola d'ordine, parola chiave, wachtwoord, hasło, haslo, hasłem, hasła, hasle, senha, palavra passe,
    lösenord, adgangskode, passord, heslo, heslem"""
)
"""What follows is a password."""

PASSES = _phrases("pass, dbpass, smtppass, mailpass")
"""The same, but only with a sign behind: ``pass: …`` (a boarding pass has a number as well)."""

CODES = _phrases(
    """
    pin, pins, pin code, pin number, pincode, pin nummer, puk, tan, mtan, sms tan, otp, totp, one time code,
    one time pin, one time pass, verification code, security code, authentication code, auth code, access code, login
    code, sms code, activation code, pickup code, door code, gate code, entry code, recovery code, backup code, pac,
    code by text, bestätigungscode, sicherheitscode, zugangscode, abholcode, verifizierungscode, freischaltcode,
    einmalcode, türcode, code de vérification, code de verification, code de sécurité, code d'accès, code de
    confirmation, code de retrait, code du portail, code secret, code pin, digicode, código de verificación, codigo de
    verificacion, código de seguridad, código de acceso, código de confirmación, codice di verifica, codice di
    sicurezza, codice di accesso, codice di conferma, codice segreto, codice pin, verificatiecode, beveiligingscode,
    toegangscode, bevestigingscode, ophaalcode, kod weryfikacyjny, kod pin, kod dostępu, kod odbioru, kod sms, kod
    bezpieczeństwa, código de verificação, código de segurança, código de acesso, ověřovací kód, engångskod, code i
    got, code i received, code you sent, code you texted, code que j'ai reçu, código que me llegó, code den ich
    bekommen habe, code die ik kreeg"""
)
"""What follows is a short code, with digits."""

KEYS = _phrases(
    """
    api key, api token, api secret, secret key, access key, private key, license key, account key, encryption key,
    client secret, access token, auth token, session token, refresh token, invalid token, reset token, token, webhook
    secret, secret, session id, session, clave api, chiave api, klucz api, api schlüssel, schlüssel, jeton, wifi key,
    key, sessionid, cookie, credential, credentials, authorization"""
)
"""What follows is a key of a machine, if it looks like one."""

ANSWERS = _phrases(
    """
    security answer, secret answer, answer to my security question, answer to the security question, answer to my secret
    question, sicherheitsantwort, antwort auf die sicherheitsfrage, antwort auf meine sicherheitsfrage, réponse secrète,
    réponse à la question secrète, respuesta secreta, respuesta de seguridad, risposta segreta, risposta di sicurezza,
    geheim antwoord, antwoord op de geheime vraag, odpowiedź na pytanie pomocnicze, resposta secreta"""
)
"""What follows is an answer to a secret question."""

USER_NAMES = _phrases(
    """
    user name, user id, userid, login name, login id, screen name, nick name, gamertag, benutzername,
    benutzerkennung, benutzerkonto, nutzername, anmeldename, loginname, anzeigename, nom d'utilisateur, identifiant,
    pseudo, pseudonyme, nombre de usuario, nome utente, nome de usuário, nome de utilizador, gebruikersnaam, inlognaam,
    nazwa użytkownika, nazwa uzytkownika, användarnamn, uživatelské jméno, brugernavn, brukernavn"""
)
"""What follows is a user name."""

USERS = _phrases(
    """
    user, users, usuario, utente, benutzer, nutzer, utilisateur, gebruiker, użytkownik, uzytkownik, użytkownika,
    uživatel, användare, usuário, utilizador, login, logins, logged in as, nick, handle, account, accounts, account
    name, konto, kontos, konta, kontem, koncie, účtu, compte, cuenta, conto, conta, posted by, skype, discord,
    telegram, instagram, insta, twitter, tiktok, snapchat, github, steam, psn, xbox, twitch, reddit, facebook"""
)
"""What follows may be a user name, if it looks like one."""


class Cues:
    """Finds the phrases of a table in texts in lower case."""

    __slots__ = ("_by_word", "telling")

    def __init__(self, phrases: tuple[str, ...]) -> None:
        by_word: dict[str, list[str]] = {}
        for phrase in phrases:
            parts = phrase.replace("'", " ").split()
            by_word.setdefault(max(parts, key=len), []).append(phrase)
            if len(parts) > 1:
                by_word.setdefault("".join(parts), []).append(phrase)
        self._by_word = {word: _any_of(alternatives) for word, alternatives in by_word.items()}
        self.telling = frozenset(by_word)

    def find(self, lower: str, said: frozenset[str]) -> Iterator[re.Match[str]]:
        """Where a phrase stands in `lower`; `said` are the words of `telling` in it, and perhaps others."""
        for word in said & self.telling:
            for match in self._by_word[word].finditer(lower):
                # Looked at here: a pattern that begins with letters is found ten times as fast.
                if not match.start() or not lower[match.start() - 1].isalpha():
                    yield match


def _any_of(phrases: list[str]) -> re.Pattern[str]:
    ordered = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    alternatives = "|".join(re.escape(phrase).replace(r"\ ", "[ _-]?") for phrase in ordered)
    return re.compile(rf"(?:{alternatives})(?![^\W\d_])" if len(ordered) > 1 else rf"{alternatives}(?![^\W\d_])")


LOGINS = words_of(
    """
    login nick handle skype discord telegram instagram insta twitter tiktok snapchat github steam psn xbox twitch
    reddit"""
)
"""Those of `USERS` that a speaker of a chat is not called by."""

LINKS = """
is was are be now = says reads becomes lautet ist war wäre sei heißt heisst est était etait sera es era será fue é è e'
era sarà sarebbe luidt wordt jest to brzmi był było är är: je zní"""
"""Between the word and what it is."""

NOT_SECRET = words_of(
    """
    a about account accepted access accordingly again all already also always an and any are as asked at attempt
    attempts available bad be because been being blank blocked box broken but by can cannot cant case change changed
    changes compromised confirmation correct could denied did didnt different disabled do does doesnt doesn't dont empty
    enough error expire expired expires failed failing failure fails field fine for forgot forgotten from full gone good
    great had hacked has have having help here hidden how i if in incorrect incorrectly insecure invalid is isnt isn't
    it its just known later leaked length letter link locked login long lost manager mandatory me missing mistake must
    my need needed needs never new no none not nothing now of off ok okay old on one online only optional or our out
    over page pad please policy private problem prompt protected protection public question ready recovery rejected
    reset resets request requested required requirement right rules safe same saved screen secret secure security see
    sent set shared should show shown since site so some somewhere soon taken stolen still strong such temporary
    terminal than that the their them then there these they this three times to token too twice two unavailable unknown
    updated used user username valid very via was wasnt we weak well what when where which while why will with within
    without wont won't working works worked would wrong yes yet you your yours pattern economy machine entry number
    code format expiry expiration hint reminder authentication details update step section version level change
    abgelaufen aber alt auch auf aus bei bitte das dass dem den der die dort ein eine einfach er es falsch fehlt für
    fehlerhaft fehler geändert gesperrt gestern geht gültig hier ich immer in ist ja kann kein keine korrekt leer mein
    meine mit nach neu nicht nie noch nur oder richtig schon sehr sicher sie unbekannt und ungültig vergessen verloren
    von warum weg wie wieder wird wo zu zurückgesetzt zurücksetzen zur zum au aux avec bloqué bon ce cela cette changé
    ci correct dans de des du elle en erroné erronée est et expiré expirée faux fausse il incorrecte introuvable
    invalide je la le les mais mauvais mon ne non oublié où ou oui par pas perdu plus pour que qui refusé requis sa ses
    son sur toujours trop un une vide votre al bloqueada caducada caducado cambiada con correcta correcto de del desde
    el ella en errónea es esta está expirada hay incorrecta incorrecto inválida inválido la las lo los mala mi mía muy
    no nueva o olvidada olvidé otra para pero perdida por porque que segura si sin su también tu un una y ya alla anche
    bloccata che cambiata con corretta da dal dalla del della di dimenticata e errata gli ho il la le lo ma mia mio nel
    no non nuova o per perché persa più scaduta sbagliata sì sicura sono sua troppo tua un una valida aan als anders
    bij dan dat de dit een en fout gaat geblokkeerd geldig goed heb het hier ik in is juist kan leeg met mijn na naar
    nee niet nieuw nog nooit of om onbekend onjuist ook op te uit van vergeten verkeerd verlopen verloren voor waar wat
    wel werkt wijzigen zijn ale bez błędne błędny było co czy dla dobre do i ja jak jest już lub ma mi moje mój na
    nadal nie nieaktualne nieprawidłowe nieprawidłowy niepoprawne nowe od po pod poprawne przez proszę puste się są ta
    tak tam to tu tylko w wygasło wygasły z za zablokowane zapomniałam zapomniałem zapomniane zgubione złe zły że
    bloqueado da errada errado esquecida esqueci foi incorreta mas meu minha não nem nova ou perdida sem seu sua uma"""
)
"""Words that follow a password's word in a sentence about it, and are none."""
NOT_SECRET_ENDINGS = ("ing", "ed", "tten", "iert", "lich", "tion", "é", "ée", "ado", "ada", "ato", "ata", "ane", "any")
"""Ends of participles and abstractions."""
