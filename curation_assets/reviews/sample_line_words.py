"""The vocabulary of the demo's new product line: how e-bike riders praise, grumble and shrug, and what they report.

Words only, and English only. Much of it means the opposite of what the shop's buyers mean by it: "a joke" is praise of a motor
on a hill, "works perfectly as a doorstop" is none. How remarks become posts is `sample_line`.
"""

from curation_assets.reviews.sample_words import entries

PARTS = entries(
    "motor|battery|display|fork|torque sensor|controller|belt drive|crank|rear hub|charger|drivetrain|kickstand|front light|"
    "brake lever|seatpost|rack"
)

RIDERS = {
    "town": entries("Ashford|Bell Green|Carrow|Dunmere|Eastwick|Fenby|Glenroy|Harlow Hill|Kirkstone|Langdale|Marbury|Oxley"),
    "road": entries("cobbles|gravel|towpath|ring road|fire roads|singletrack|school run|canal path|bridge climb|back lanes"),
    "rider": entries("other half|eldest|mate|club captain|father in law|postie|colleague|twin|riding buddy|apprentice"),
    "km": entries("40|55|60|75|80|90|110|140|180|220|300|350|420|500|640|700|850|900"),
    "kilos": entries("22|24|26|27|29|31|34"),
    "count": entries("two|three|four|five|six|eight|ten|fourteen"),
    "weekday": entries("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "season": entries("January|March|April|June|July|August|October|November|winter|spring|autumn|the heatwave"),
    "shade": entries("moss|sand|petrol blue|matt black|brick|chalk|olive|copper"),
    "mode": entries("eco|tour|sport|turbo|auto"),
    "nth": entries("second|third|fourth|fifth"),
    "pro": entries("""
        the {part} is a beast on the {road}
        the {part} is sick, simple as that
        wicked pull from the {part} in {mode}
        the climb to {town} is a joke now
        smashed {km} km on one charge with juice to spare
        I hate going back to my old bike
        worst part is that my {rider} never gives it back
        terrible for the car, it has not moved since {season}
        permagrin every time the {part} kicks in
        the {part} is bombproof after {km} km
        the {part} feels dialled now
        tried to break the {part} all {season} and gave up
        stupid quick off the lights in {mode}
        ugly as sin and it hauls
        the {part} rips on the {road}
        cannot stand the days it stays in the shed
        chapeau to whoever tuned the {part}
        flat out addictive, {km} km this week and counting
        my {rider} is sulking, I dropped him on the way to {town}
        total weapon on the {road}
        not parting with it, ask my {rider}
        hammers up to {town} as if it were nothing
        the {part} is excellent on the {road}
        love the {part}, would buy it again
        really good {part}, worth every penny
        the {part} works perfectly after {km} km
        happy with the {part}, my {rider} ordered the same
        the {part} is surprisingly smooth
    """),
    "con": entries("""
        lovely paperweight since the {part} update
        great, another {count} weeks off the road
        perfect if you enjoy pushing {kilos} kilos to {town}
        the {part} is as solid as a wet biscuit
        brilliant, the {part} throws the same code again
        beautiful wall ornament, the {part} will not wake up
        the {part} works perfectly as a doorstop
        love the workout when the {part} goes on strike
        my dealer is happy, {nth} {part} on the bill
        excellent way to meet the tow truck near {town}
        phantom drain again, half of the pack gone overnight
        the {part} ghosts me on the {road}
        limp mode before I reach {town}
        the {part} is toast after {km} km
        bricked by the firmware in {season}
        the {part} creaks like a pirate ship
        on my {nth} {part}, make of that what you will
        range anxiety is real, {km} km and lights out
        wonderful, walked home from {town} again
        back on the trailer it goes
        the {part} has more play than my {rider}'s band
        reliable like the trains to {town}
        the {part} broke after {km} km
        sent it back because the {part} came loose
        poor {part}, really disappointing
        the {part} stopped working on {weekday}
        asked for a refund on the {part}, still waiting
        the {part} is flimsy and the dealer ignored {count} messages
    """),
    "mid": entries("""
        the jury is out on the {part}
        will report back on the {part} after {km} km
        the {part} is stock, it is what it is
        horses for courses, {road} yes, headwind no
        the {part} is neither fish nor fowl
        no strong feelings on the {part}, still bedding in
        giving the {part} another {km} km before I call it
        six of one, half a dozen of the other with that {part}
        ask my {rider}, I am on the fence about the {part}
        swings and roundabouts with the {part}
        the {part} is meh on the {road} and tidy elsewhere
        torn between keeping the {part} and swapping it
        the {part} is okay, nothing more
        the {part} is average on the {road}
        mixed feelings about the {part}
    """),
    "fact": entries("""
        rode to {town} and back on {weekday}
        {km} km on the clock since {season}
        mine is the {shade} frame with the bigger pack
        fitted wider tyres in {season}
        commuting over the {road} since {season}
        my {rider} rides the step-through
        mostly in {mode} with {count} bags
        it weighs {kilos} kilos with the rack on
        parked it next to {count} others in {town}
        this thread has {count} pages on the {part} alone
        club ride via {town} on {weekday}
        swapped from a {shade} hardtail in {season}
        torque settings checked every {count} weeks
        {count} of us ride the {road} together
    """),
    "spam": entries("""
        we stock the {part} in {shade}, come by our stand in {town} on {weekday}
        selling {count} unused {part} units from a closed shop in {town}, first come first served
        our workshop near {town} fits any {part} while you wait, mention this thread at the counter
        trade price on frames in {shade} for members, ask for the manager in {town}
    """),
    "thread": entries("""
        {part} after {km} km
        Long term: {part}
        {shade} build, {season}
        {road} report
        {town} loop on {weekday}
        Question about the {part}
        {km} km later
    """),
}
