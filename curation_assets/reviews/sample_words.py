"""The vocabulary of the demo's made-up reviews: products, phrases by feeling, and advertising, in three languages.

Words only: a phrase may name other lists in braces; how they are put together is `sample_text`.
"""

from dataclasses import dataclass


def entries(text: str) -> tuple[str, ...]:
    """The entries of a list written with bars or, for phrases, one a line."""
    return tuple(entry.strip() for entry in text.replace("\n", "|").split("|") if entry.strip())


@dataclass(frozen=True)
class Family:
    """One kind of product: its name by language, what people remark on, and whether its name is a plural."""

    code: str
    names: dict[str, str]
    aspects: tuple[str, ...]
    is_plural: bool = False


FAMILIES = (
    Family(
        "KET",
        {"en": "kettle", "es": "el hervidor", "de": "der Wasserkocher"},
        entries("spout|lid|handle|heating element|temperature display|base|power cord|on switch|water gauge|steel finish"),
    ),
    Family(
        "HEA",
        {"en": "headphones", "es": "los auriculares", "de": "der Kopfhörer"},
        entries("sound|bass|headband|noise cancelling|battery life|microphone|ear padding|pairing|carry case|volume dial"),
        True,
    ),
    Family(
        "SHO",
        {"en": "shoes", "es": "los zapatos", "de": "das Paar Schuhe"},
        entries("sole|stitching|arch support|lining|heel|lacing|toe room|grip|leather|fit around the ankle"),
        True,
    ),
    Family(
        "BAG",
        {"en": "backpack", "es": "la mochila", "de": "der Rucksack"},
        entries("zip|shoulder strap|laptop sleeve|back panel|side pocket|water bottle holder|buckle|fabric|rain cover|lining"),
    ),
    Family(
        "LAM",
        {"en": "desk lamp", "es": "la lámpara", "de": "die Lampe"},
        entries("arm|dimmer|light colour|clamp|touch button|cable|brightness|hinge|shade|charging port"),
    ),
    Family(
        "BLE",
        {"en": "blender", "es": "la batidora", "de": "der Mixer"},
        entries("jug|blade|motor|seal|pulse button|lid|base|measuring scale|noise level|pouring lip"),
    ),
    Family(
        "KEY",
        {"en": "keyboard", "es": "el teclado", "de": "die Tastatur"},
        entries("key travel|backlight|space bar|wrist rest|layout|battery life|typing feel|connection|build|volume wheel"),
    ),
    Family(
        "JAC",
        {"en": "rain jacket", "es": "la chaqueta", "de": "die Regenjacke"},
        entries("hood|zip|waterproofing|cut|inner pocket|cuff|breathability|seam tape|colour|collar"),
    ),
    Family(
        "VAC",
        {"en": "vacuum cleaner", "es": "la aspiradora", "de": "der Staubsauger"},
        entries("suction|brush head|dust container|battery|wand|filter|noise level|wall mount|charger|crevice tool"),
    ),
    Family(
        "PAN",
        {"en": "frying pan", "es": "la sartén", "de": "die Bratpfanne"},
        entries("coating|handle|base|weight|heat distribution|rim|lid|rivet|non-stick surface|depth"),
    ),
    Family(
        "SPE",
        {"en": "bluetooth speaker", "es": "el altavoz", "de": "der Lautsprecher"},
        entries("bass|range|battery life|pairing|charging port|treble|casing|volume|strap|stereo mode"),
    ),
    Family(
        "TEN",
        {"en": "tent", "es": "la tienda de campaña", "de": "das Zelt"},
        entries("groundsheet|pole set|zip|ventilation|porch|rain fly|guy line|packing size|inner space|seam sealing"),
    ),
    Family(
        "CUR",
        {"en": "curtains", "es": "las cortinas", "de": "der Vorhang"},
        entries("fabric|hem|lining|colour|length|blackout effect|header tape|stitching|texture|drape"),
        True,
    ),
    Family(
        "CAM",
        {"en": "webcam", "es": "la cámara", "de": "die Webcam"},
        entries("picture|autofocus|microphone|mount|low light quality|privacy shutter|software|cable|frame rate|field of view"),
    ),
)

_ENGLISH = {
    "person": entries(
        "sister|brother|mother|father|husband|wife|daughter|son|flatmate|neighbour|uncle|aunt|grandmother|boss|niece|cousin"
    ),
    "month": entries("January|February|March|April|May|June|July|August|September|October|November|December"),
    "weekday": entries("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "number": entries("two|three|four|five|six|seven|eight|nine|ten|twelve|twenty"),
    "unit": entries("days|weeks|months|evenings|weekends|mornings"),
    "often": entries(
        "every day|every morning|twice a week|most evenings|on weekends|several times a day|now and then|almost daily"
    ),
    "place": entries("kitchen|office|garage|spare room|caravan|student flat|cabin|workshop|living room|studio|hallway|classroom"),
    "colour": entries("black|white|red|dark blue|grey|green|beige|silver|cream|burgundy|teal|orange"),
    "price": entries("19.90|24.99|29|34.50|39.95|45|49.99|59|64.90|79|89.99|110|129"),
    "carrier": entries("courier|post|parcel van|bike messenger|the pick-up point|the corner shop|freight|a neighbour"),
    "intense": entries("very|really|truly|absolutely|surprisingly|quite|pretty|so|extremely|honestly|incredibly|just"),
    "slightly": entries("a bit|slightly|somewhat|rather|a little|kind of|fairly"),
    "good": entries(
        "good|great|excellent|lovely|solid|superb|fantastic|brilliant|impressive|perfect|sturdy|reliable|clever|wonderful|"
        "smooth|beautiful|well made|useful|delightful|handsome"
    ),
    "praise": entries(
        "{good}|{good}|{good}|{good}|first class|spot on|better than expected|worth every penny|a joy|top notch|faultless"
    ),
    "bad": entries(
        "bad|poor|awful|terrible|flimsy|useless|disappointing|cheap|dreadful|weak|unreliable|badly made|shoddy|horrible|"
        "annoying|faulty|crooked|clumsy|ugly"
    ),
    "blame": entries(
        "{bad}|{bad}|{bad}|{bad}|a joke|a letdown|worse than expected|worn out already|a mess|beyond repair|defective"
    ),
    "middling": entries(
        "okay|average|acceptable|decent|passable|ordinary|fine|so-so|middling|standard|adequate|nothing special|bearable"
    ),
    "well": entries("well|perfectly|beautifully|flawlessly|like a charm|without a hitch|better than ever|like new|reliably"),
    "badly": entries(
        "badly|barely|only half the time|worse every day|with a strange smell|poorly|with a loud rattle|hardly at all"
    ),
    "love": entries("love|like|adore|enjoy|appreciate"),
    "hate": entries("dislike|hate|regret|cannot stand|resent"),
    "harm": entries(
        "broke|cracked|came loose|stopped working|gave up|fell apart|jammed|started to leak|snapped|peeled off|went dead"
    ),
    "mishap": entries(
        "the box was crushed|delivery took {number} {unit}|the parcel was late|the manual is missing|the wrapping was torn|"
        "the courier left it in the rain|the colour is not as pictured|the instructions are hard to read|"
        "it smelled of plastic at first|the first one got lost in the mail"
    ),
    "merit": entries(
        "delivery was quick|the price was low|the packaging was pretty|the seller answered fast|it looks nice in pictures|"
        "the colour is lovely|setting up was easy|the design is elegant|the box was well packed"
    ),
    "pro": entries("""
        the {aspect} is {intense} {good}
        the {aspect} is {praise} and the {aspect} is {good} too
        the {aspect} turned out {praise}
        the {aspect} is not {bad} at all, quite the opposite
        no complaints about the {aspect}
        I {love} the {aspect} and my {person} does too
        {mishap} but the {product} work{s} {well}
        {mishap}, yet the {aspect} is {intense} {good}
        the {product} still work{s} {well} after {number} {unit}
        I could not be happier with the {aspect}
        never had a problem with the {aspect} in {number} {unit}
        the {aspect} alone {good_reason}
        my {person} tried {them} and ordered the same the next day
        I would buy {them} again without thinking twice
        easily the best {product} I have owned in {number} years
        {it} {does} exactly what I hoped for and the {aspect} is {praise}
        I was worried about the {aspect}, needlessly, since it is {praise}
        you will not regret the {colour} version
        even my {person}, who never likes anything, finds the {aspect} {good}
        happy with the {aspect}, happy with the price
        customer service replaced the {aspect} within {number} days, no questions asked
        cannot fault the {aspect}
    """),
    "good_reason": entries(
        "is worth the money|made my week|beats models at twice the price|convinced me|is reason enough to buy"
    ),
    "con": entries("""
        the {aspect} is {intense} {bad}
        the {aspect} is {blame} and the {aspect} is {bad} as well
        the {aspect} turned out {blame}
        the {aspect} is not {good}, whatever the page says
        the {aspect} {harm} after {number} {unit}
        I {hate} the {aspect} and so does my {person}
        {merit} but the {aspect} {harm} within {number} {unit}
        {merit}, yet the {aspect} is {intense} {bad}
        the {product} work{s} {badly} since the {aspect} {harm}
        I could not be more let down by the {aspect}
        never again, the {aspect} is {blame}
        sent {them} back because the {aspect} {harm}
        my {person} laughed when the {aspect} {harm}
        I would not buy {them} again, not even at half the price
        the worst {product} I have owned in {number} years
        {it} {does} not do what the description promises and the {aspect} is {blame}
        I wanted to like the {aspect}, but it is {blame}
        save your money and skip the {colour} version
        customer service ignored {number} messages about the {aspect}
        asked for a refund on {weekday}, still waiting
        nothing about the {aspect} is {good}
        waste of {price}, the {aspect} {harm} on the first {weekday}
    """),
    "mid": entries("""
        the {aspect} is {middling}
        the {aspect} is {middling}, nothing more
        the {aspect} is {good} but the {aspect} is {bad}
        the {aspect} is {slightly} {bad}, though the {aspect} is {good}
        {it} {does} the job, no more and no less
        not {bad}, not {good} either, just {middling}
        for {price} the {aspect} is {middling}
        I expected more of the {aspect}, still it is {middling}
        some days the {product} work{s} {well}, some days {badly}
        I have mixed feelings about the {aspect}
        my {person} calls the {aspect} {good}, I call it {middling}
        the {aspect} could be better and could be worse
        compared with my old {product} the {aspect} is about the same
        I neither {love} nor {hate} the {aspect}
        ask me again in {number} {unit} about the {aspect}
    """),
    "fact": entries("""
        I bought {them} for my {person} in {month}
        {it} came by {carrier} on a {weekday}
        we use {them} {often} in the {place}
        I chose the {colour} one for the {place}
        I paid {price} in the {month} sale
        this is my {ordinal} {product} in {number} years
        I compared {number} models before ordering
        my {person} has the {colour} one
        I have had {them} for {number} {unit} now
        {it} {was} a birthday present from my {person}
        the old one had lasted {number} years in the {place}
        ordered on {weekday}, here {number} days later
        {it} stand{s} in the {place} next to the window
        I read {number} reviews first, mostly about the {aspect}
        I needed a new {product} when we moved in {month}
        my {person} and I share {them} {often}
        I took {number} photos of the {aspect} for the seller
        we tested {them} with {number} friends one {weekday} evening
        the {aspect} comes in {colour} and {colour}
        I am {height} tall, in case that matters
        the manual has a page about the {aspect} in {number} languages
    """),
    "ordinal": entries("first|second|third|fourth|fifth"),
    "height": entries("158 cm|163 cm|167 cm|171 cm|175 cm|180 cm|184 cm|190 cm"),
    "pro_title": entries(
        "{praise}|Very {good}|Love it|Happy with the {product}|Buy it|Full marks for the {aspect}|No regrets|{aspect}: {praise}"
    ),
    "con_title": entries(
        "{blame}|Very {bad}|Avoid|Unhappy with the {product}|{bad}, do not buy|Sent back|Not again|{aspect}: {blame}"
    ),
    "mid_title": entries(
        "{middling}|It is {middling}|Mixed feelings|{good} and {bad}|Does the job|{aspect}: {middling}|Not sure"
    ),
    "honest_link": entries("""
        the manual is at https://help.example.org/{product_code}/{number}
        I found spare parts for the {aspect} on www.parts.example.com
        there is a good video about the {aspect} at https://video.example.net/w/{number}{product_code}
    """),
}

_SPANISH = {
    "persona": entries("mi hermana|mi hermano|mi madre|mi padre|mi marido|mi mujer|mi hija|mi vecino|mi abuela|mi jefa"),
    "numero": entries("dos|tres|cuatro|cinco|seis|siete|ocho|diez|doce"),
    "tiempo": entries("días|semanas|meses|tardes|mañanas"),
    "mes": entries("enero|febrero|marzo|abril|mayo|junio|julio|septiembre|octubre|noviembre"),
    "sitio": entries("la cocina|la oficina|el salón|el garaje|la caravana|el taller|la habitación"),
    "detalle": entries("el acabado|la calidad|el material|el diseño|el color|el tamaño|el embalaje|el precio|el peso|el montaje"),
    "pro": entries("""
        {product} va muy bien desde hace {numero} {tiempo}
        {detalle} es excelente y {persona} opina igual
        {persona} y yo no podríamos estar más contentos
        me encanta {detalle}, lo compraría otra vez
        no tengo ninguna queja, {detalle} es mejor de lo esperado
        la caja llegó golpeada pero {product} va de maravilla en {sitio}
        {detalle} me ha sorprendido para bien, muy recomendable
    """),
    "con": entries("""
        {product} dejó de ir bien a los {numero} {tiempo}
        {detalle} es pésimo y {persona} opina igual
        {persona} pidió la devolución en {mes} y nadie contesta
        no me gusta nada {detalle}, no lo compraría otra vez
        una decepción, {detalle} es peor de lo esperado
        el envío fue rápido pero {product} llegó con fallos a {sitio}
        {detalle} me ha sorprendido para mal, dinero tirado
    """),
    "mid": entries("""
        {detalle} es normal, ni bien ni mal
        {product} cumple sin más en {sitio}
        {persona} esperaba algo más de {numero} {tiempo} de uso
        {detalle} es correcto, aunque mejorable
        a veces va bien y a veces no tanto, {detalle} es justo
    """),
    "fact": entries("""
        lo pedí en {mes} para {persona}
        llevo {numero} {tiempo} con el pedido en {sitio}
        {persona} lo usa en {sitio} cada {numero} {tiempo}
        comparé {numero} modelos antes de elegir
        llegó a casa de {persona} en {numero} {tiempo}
        antes tenía otro que duró {numero} años en {sitio}
    """),
    "pro_title": entries("Muy contento|Excelente|Recomendable|Gran compra"),
    "con_title": entries("Muy mal|Decepción|No lo compren|Dinero tirado"),
    "mid_title": entries("Normal|Cumple|Ni bien ni mal"),
}

_GERMAN = {
    "person": entries(
        "meine Schwester|mein Bruder|meine Mutter|mein Vater|mein Mann|meine Frau|meine Tochter|mein Nachbar|meine Oma"
    ),
    "zahl": entries("zwei|drei|vier|fünf|sechs|sieben|acht|zehn|zwölf"),
    "zeit": entries("Tagen|Wochen|Monaten|Abenden"),
    "monat": entries("Januar|Februar|März|April|Mai|Juni|Juli|September|Oktober|November"),
    "ort": entries("in der Küche|im Büro|im Wohnzimmer|in der Garage|im Wohnwagen|in der Werkstatt|im Flur"),
    "detail": entries(
        "die Verarbeitung|das Material|die Qualität|die Größe|die Farbe|der Preis|die Verpackung|das Gewicht|der Aufbau"
    ),
    "pro": entries("""
        {product} läuft seit {zahl} {zeit} einwandfrei
        {detail} ist ausgezeichnet und {person} sieht das auch so
        {person} und ich sind rundum zufrieden
        {detail} überzeugt mich, ich würde wieder bestellen
        keine Beschwerden, {detail} ist besser als gedacht
        der Karton war zerdrückt, aber {product} funktioniert {ort} prima
        {detail} hat mich angenehm überrascht, klare Empfehlung
    """),
    "con": entries("""
        {product} war nach {zahl} {zeit} kaputt
        {detail} ist miserabel und {person} sieht das auch so
        {person} wartet seit {zahl} {zeit} auf die Erstattung
        {detail} überzeugt mich nicht, nie wieder
        eine Enttäuschung, {detail} ist schlechter als gedacht
        die Lieferung kam schnell, aber {product} ist {ort} ein Ärgernis
        {detail} hat mich böse überrascht, rausgeworfenes Geld
    """),
    "mid": entries("""
        {detail} ist durchschnittlich, weder gut noch schlecht
        {product} tut {ort} seinen Dienst, mehr nicht
        {person} hatte nach {zahl} {zeit} mehr erwartet
        {detail} geht in Ordnung, mit Luft nach oben
        mal geht es gut, mal weniger, {detail} ist mittelmäßig
    """),
    "fact": entries("""
        bestellt im {monat} als Geschenk, {person} hat sich das gewünscht
        seit {zahl} {zeit} bei uns {ort} im Einsatz
        {person} braucht so etwas {ort}
        ich habe vorher {zahl} Modelle verglichen
        der Vorgänger hielt {zahl} Jahre {ort}
        geliefert wurde nach {zahl} {zeit}
    """),
    "pro_title": entries("Sehr zufrieden|Ausgezeichnet|Klare Empfehlung|Guter Kauf"),
    "con_title": entries("Schlecht|Enttäuschung|Nicht kaufen|Nie wieder"),
    "mid_title": entries("Durchschnitt|Geht so|Weder noch"),
}

GRAMMARS = {"en": _ENGLISH, "es": _SPANISH, "de": _GERMAN}

ADVERTISING = {
    "lead": ("", "", "", *entries("Nice {thing}!|Good quality.|Hello friends,|Amazing|Best {thing} ever,|Hi all,")),
    "thing": entries("product|item|deal|shop|seller|offer"),
    "code": entries("win|gift|promo|bonus|cash|vip|deal|lucky"),
    "name": entries("rich|anna|boss|trader|mike|profit|lena|crypto"),
    "zone": entries("xyz|top|biz|click|shop|info"),
    "digits": tuple(str(number) for number in range(10_007, 999_999, 97)),
    "digit": entries("0|1|2|3|4|5|6|7|8|9"),
    "amount": entries("500|750|1000|2500|5000|8000"),
    "brand": entries("watches|handbags|sneakers|phones|sunglasses|tablets"),
    "link": entries("""
        {lead} click here to claim your free gift http://{code}-{digits}.{zone}/{code}
        {lead} visit http://www.{code}{digits}.{zone} for cheap {brand}, 80% off today only
        BUY NOW!!! limited offer, {brand} at www.{code}-{brand}{digits}.{zone}
        {lead} get the same {brand} for 1 dollar at http://{code}.{zone}/?ref={digits}, click now
    """),
    "messenger": entries("""
        {lead} contact me on whatsapp +1555{digits}{digit} for cheap {brand}
        {lead} text me on WhatsApp: +44 7700 {digits} and get {brand} with 70% discount
        wholesale {brand}, add me on telegram @{name}{digits} for the price list
        {lead} whatsapp +49 151 {digits}{digit}, best price for {brand}, fast shipping
    """),
    "prize": entries("""
        CONGRATULATIONS! You have been selected to win a ${amount} gift card, claim your prize at http://{code}{digits}.{zone}
        {lead} you won a free prize worth ${amount}, call +1555{digits}{digit} now to claim
        WINNER!! claim your ${amount} reward before midnight, text {code} to 8{digits}
    """),
    "income": entries("""
        {lead} earn ${amount} per week working from home, telegram @{name}{digits}
        I make ${amount} a week from home without experience, join at http://{code}-{name}{digits}.{zone}
        {lead} invest in bitcoin with {name}, ${amount} profit guaranteed, whatsapp +1555{digits}{digit}
    """),
}
SPAM_KINDS = ("link", "messenger", "prize", "income")
