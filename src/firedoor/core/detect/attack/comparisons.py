"""Numbers that a question or a guess holds against an amount: "is it above 40?", "unter 30?", "is the cost 12.50?".

One such question tells little; ten of them in a session halve their way to the amount. Numbers are read as they are
written in English, German, French and Swiss texts, with the digits of any script. Only a few words on each side of a
number are looked at, so that the work is linear.
"""

from __future__ import annotations

import re

from firedoor.core.detect.attack.rulefold import folded

MAX_NUMBERS = 32
"""Numbers of one text that are looked at: a guess has one or two, a table of prices has no end of them."""

_BEFORE, _BEHIND = 48, 24  # code points on each side: a few words
_NUMBER = re.compile(
    r"(?<![A-Za-z_.,#-])(?<!\d)\d{1,9}(?:(?:[.,']|[ \u00a0\u202f](?=\d{3}(?!\d)))\d{1,9}){0,4}(?![A-Za-z_#-]{0,12}\d)"
)
_CURRENCY = (
    r"(?:[$€£¥₹₽₺₩฿%]|(?:eur|euros?|usd|us\$|dollars?|gbp|pounds?|chf|franken|francs?|pln|zl|kr|rs|tl|lira|cents?)\b"
    r"|円|元|块|塊|원|บาท)"
)
_SMALL = (
    r"(?:(?:about|around|roughly|the|a|an|your|say|etwa|rund|den|die|das|le|la|les|de|el|los|unos|unas|circa|il|i|os|as"
    r"|um|uns|ca|ongeveer|ok|okolo)\.?\s+)"
)

# Words before the number. Each begins a word; scripts without spaces are listed apart.
_WORDS_BEFORE = (
    "above|over|more than|higher than|greater than|bigger than|larger than|in excess of|exceed(?:s|ing)?|upwards of|"
    "below|under|beneath|less than|lower than|smaller than|cheaper than|fewer than|at least|at most|no more than|"
    "no less than|not more than|not less than|up to|down to|minimum of|maximum of|between|equal(?:s)?(?: to)?|exactly|"
    "closer to|nearer to|as low as|as much as|as little as|beyond|north of|south of|"
    "uber|ueber|mehr als|hoher als|teurer als|großer als|unter|weniger als|niedriger als|billiger als|gunstiger als|"
    "kleiner als|mindestens|hochstens|maximal|minimal|bis zu|zwischen|genau|oberhalb von|unterhalb von|"
    "plus de|moins de|au-dessus de|au dessus de|en dessous de|au-dessous de|superieure? a|inferieure? a|plus cher que|"
    "moins cher que|au moins|au plus|au maximum|jusqu'a|entre|exactement|depasse|"
    "mas de|menos de|por encima de|por debajo de|superior a|inferior a|mayor (?:que|de|a)|menor (?:que|de|a)|al menos|"
    "como minimo|como maximo|hasta|entre|exactamente|supera(?: los)?|mas caro que|mas barato que|"
    "piu di|meno di|sopra i|sopra|sotto i|sotto|superiore a|inferiore a|oltre|almeno|al massimo|fino a|tra|fra|"
    "esattamente|maggiore di|minore di|"
    "meer dan|minder dan|boven(?: de)?|onder(?: de)?|hoger dan|lager dan|goedkoper dan|duurder dan|minstens|hoogstens|"
    "tussen|precies|"
    "mais de|mais que|menos de|menos que|acima de|abaixo de|maior que|menor que|pelo menos|no maximo|ate|exatamente|"
    "powyzej|ponizej|wiecej niz|mniej niz|ponad|co najmniej|co najwyzej|drozsz\\w{1,3} niz|tansz\\w{1,3} niz|"
    "przekracza|miedzy|dokladnie|"
    "больше|меньше|выше|ниже|более|менее|свыше|дороже|дешевле|не менее|не более|превышает|минимум|максимум|между|ровно|"
    "tren|duoi|hon|cao hon|thap hon|nhieu hon|it hon|it nhat|toi da|toi thieu|khoang tu|"
    "di atas|di bawah|lebih dari|kurang dari|lebih besar dari|lebih kecil dari|minimal|maksimal|melebihi|antara|tepat|"
    "en az|en fazla|en cok|"
    "اكثر من|اقل من|اعلى من|ادنى من|فوق|تحت|يتجاوز|على الاقل|على الاكثر|بين|"
    "cel putin|mai mult de"
)
_SIGNS_BEFORE = (
    "[<>]=?|[≤≥]|超过|超過|高于|高於|低于|低於|多于|多於|少于|少於|大于|大於|小于|小於|不到|不足|至少|最多|有没有|"
    "มากกว่า|น้อยกว่า|เกิน|ต่ำกว่า|สูงกว่า|ไม่ถึง|อย่างน้อย|ไม่เกิน|ถึง"
)
_COMPARED_BEFORE = re.compile(
    rf"(?:(?<!\w)(?:{_WORDS_BEFORE})\s+{_SMALL}{{0,2}}|(?:{_SIGNS_BEFORE})\s?){_CURRENCY}?\s?\Z"
)
_COMPARED_BEHIND = re.compile(
    rf"\s?{_CURRENCY}?\s?(?:"
    r"(?:or|oder|ou|o|of|lub|или|atau|hoac|veya|ya da|या|او) (?:more|less|higher|lower|above|below|under|over|mehr|"
    r"weniger|hoher|niedriger|druber|drunter|plus|moins|mas|menos|piu|meno|meer|minder|hoger|lager|mais|wiecej|mniej|больше|"
    r"меньше|выше|ниже|lebih|kurang|hon|cao hon|thap hon|fazla|az|ज्यादा|ज़्यादा|अधिक|कम|اكثر|اقل)"
    r"|以上|以下|より|を超|を上|を下|未満|超え|以内|이상|이하|초과|미만|보다|넘|밑|이하|以內|以内|往上|往下|左右"
    r"|(?:रुपये |रुपए |रुपया )?से (?:ज्यादा|ज़्यादा|अधिक|कम|ऊपर|नीचे|ऊँचा)|(?:টাকার?|এর|-?র) ?(?:বেশি|কম|উপরে|নিচে)"
    r"|'?(?:[dt][ae]n|liradan|eurodan|tl'den) (?:fazla|az|cok|yuksek|dusuk|pahali|ucuz|ustun|alt)"
    r"|'?\w{0,4} (?:uzeri|alti)"
    r"|se (?:zyada|jyada|adhik|kam|upar|neeche|niche))"
)
_BETWEEN = re.compile(r"\s?(?:and|und|et|y|e|en|i|и|dan|va|و|to|bis|-)\s{1,2}\Z")

# A guess: what the amount is called, or that something is it, then the number and the end of the question.
_NAMED = re.compile(
    r"(?<!\w)(?:cost|costs|price|priced|margin|mark-?up|profit|pay|paid|earn|make|floor|limit|minimum|salary|"
    r"(?:is|was|isn't|are) (?:it|that|this|they)|it's|"
    r"preis|\w{0,12}preis|kosten|kostet|kostete|marge|\w{2,12}marge|aufschlag|zahlt|bezahlt|gehalt|ist (?:es|das)|"
    r"sind es|liegt|betragt|prix|cout|coute|marge|payez|paye|salaire|est-ce|c'est|precio|coste|costo|cuesta|margen|"
    r"pagais|pagan|sueldo|es|son|prezzo|costa|margine|pagate|stipendio|sono|prijs|kost|inkoopprijs|betalen|"
    r"is (?:het|dat)|preco|custo|custa|margem|pagam|salario|cena|koszt|kosztuje|marza|placicie|czy to|fiyat\w{0,4}|"
    r"maliyet\w{0,4}|gia|harga\w{0,3}|цена|стоит|стоимость|маржа|это|кажется|السعر|التكلفة|هل هو|سعره|"
    r"कीमत|लागत|दाम|क्या यह|দাম|খরচ)(?!\w)"
    r"|原価|値段|価格|利益率|成本|进价|進價|价格|價格|利润|利潤|是不是|是|가격|원가|마진|ราคา|ต้นทุน|กำไร"
)
_GUESSED_BEHIND = re.compile(rf"\s?{_CURRENCY}?\s?(?:ですか|か|吗|嗎|吧|인가요|야|임|ไหม|หรือเปล่า|mi|क्या)?\s?[?]")
_COUNTED = re.compile(
    r"\s?-?(?:days?|weeks?|months?|years?|hours?|hrs?|minutes?|mins?|kg|g|mg|cm|mm|m|km|ml|l|inch(?:es)?|pieces?|pcs|items?|"
    r"stars?|people|persons?|times|x|"
    r"tage?n?|wochen?|monate?n?|jahre?n?|stunden?|stuck|teile?|sterne?|personen|mal|"
    r"jours?|semaines?|mois|ans|annees?|heures?|pieces?|etoiles?|personnes?|fois|"
    r"dias?|semanas?|mes(?:es)?|anos?|horas?|piezas?|estrellas?|personas?|veces|unidades?|"
    r"giorn[io]|settiman[ae]|mes[ei]|ann[io]|or[ae]|pezz[io]|stelle|persone|volte|"
    r"dagen|weken|maanden|jaar|uur|stuks|sterren|dni|tygodni|lat|godzin|sztuk|дн\w{1,3}|лет|час\w{0,3}|штук\w?|"
    r"gun|hafta|ay|yil|saat|adet|ngay|tuan|thang|nam|hari|minggu|bulan|tahun|jam|日|週間|ヶ月|年|時間|個|人|天|周|个月|小时|个|件|"
    r"일|주|개월|년|시간|개|명|दिन|हफ्ते|महीने|साल|घंटे)(?!\w)"
)


def compared_numbers(text: str) -> tuple[float, ...]:
    """The numbers that `text` holds against an amount, in its order; empty for most texts."""
    found: list[float] = []
    low = ""  # folded once there is a number
    last_end = -1  # of the number before, if it was compared
    for count, match in enumerate(_NUMBER.finditer(text)):
        if count == MAX_NUMBERS:
            break
        low = low or folded(text)
        start, end = match.span()
        before, behind = low[max(0, start - _BEFORE) : start], low[end : end + _BEHIND]
        between = last_end >= 0 and _BETWEEN.fullmatch(low[last_end:start]) is not None
        if _is_compared(before, behind) or between:
            found.append(_value(match[0]))
            last_end = end
        else:
            last_end = -1
    return tuple(found)


def _is_compared(before: str, behind: str) -> bool:
    if _COUNTED.match(behind):
        return False
    if _COMPARED_BEFORE.search(before) or _COMPARED_BEHIND.match(behind):
        return True
    sentence = re.split(r"[.!?\n]\s", before)[-1]
    return _GUESSED_BEHIND.match(behind) is not None and _NAMED.search(sentence) is not None


def _value(written: str) -> float:
    """What a number says: the last sign before one or two digits, or any number but three, begins the decimals."""
    plain = "".join(str(int(sign)) if sign.isdecimal() else sign for sign in written)
    parts = re.split(r"[.,' \u00a0\u202f]", plain)
    if len(parts) == 1:
        return float(plain)
    signs = [sign for sign in plain if not sign.isdecimal()]
    last = signs[-1]
    decimal = last in ".," and (len(parts[-1]) != 3 or (len(set(signs)) > 1)) and signs.count(last) == 1
    if decimal:
        return float("".join(parts[:-1]) + "." + parts[-1])
    return float("".join(parts))
