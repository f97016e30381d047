package schema

// DidYouMean gives `, did you mean "office"?` for the candidate that is nearest
// to a misspelt word, and nothing if none is near.
func DidYouMean(word string, candidates []string) string { return didYouMean(word, candidates) }
