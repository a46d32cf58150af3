"""Reviews: text with a rating, from many shops; the sentiment behind it is learned."""
