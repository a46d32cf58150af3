"""How the loop is doing, in words and figures: is it getting better, what do labels buy, can they be trusted, what is late or odd."""
