package params

// PatternInstructions is an upper bound of the instructions that an expression compiles to.
func PatternInstructions(text string) (int, error) {
	return patternInstructions(text)
}
