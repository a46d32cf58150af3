"""The pages of the service: signing in, labelling, conflicts, predictions, the loop's health. One module a page, one template each."""
