package legacy

import (
	"errors"
	"regexp"
	"strings"
)

// notSet is the value by which a profile took a key back.
const notSet = "not-set"

var errNoBool = errors.New("is neither 1, yes, true, on nor 0, no, false, off")

// parseBool reads what the old broker takes as true or false.
func parseBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "1", "yes", "true", "on":
		return true, nil
	case "0", "no", "false", "off":
		return false, nil
	}
	return false, errNoBool
}

// switchedOn reads the options that are on for these two words only, and off
// for all others.
func switchedOn(value string) bool {
	return value == "1" || strings.EqualFold(value, "true")
}

// clientBool reads a text that X2Go Client takes for true or false, as Qt does:
// every other text is true.
func clientBool(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "false")
}

var (
	errNoInt      = errors.New("is no whole number")
	pythonInteger = regexp.MustCompile(`^([+-]?)0*([0-9]+(?:_[0-9]+)*)$`)
)

// parseInt gives a number as Python's int reads it, in decimal digits.
func parseInt(value string) (string, error) {
	m := pythonInteger.FindStringSubmatch(strings.TrimFunc(value, isSpace))
	if m == nil {
		return "", errNoInt
	}
	digits := strings.ReplaceAll(m[2], "_", "")
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return "0", nil
	}
	if m[1] == "-" {
		return "-" + digits, nil
	}
	return digits, nil
}
