package rehearse

// Absent is what a profile without the key means.
func Absent(name string) string { return keys[name].absent }

// Known says how each key of x2go is read, and by whom.
func Known() map[string]string {
	out := map[string]string{}
	for name, k := range keys {
		switch name {
		case "name", "icon", "user", "autologin", "usebrokerpass": // not below x2go
			continue
		}
		out[name] = map[kind]string{text: "text", flag: "flag", number: "number"}[k.kind] + ", " +
			map[reader]string{x2goClient: "X2Go Client", pyhoca: "PyHoca", nobody: "nobody"}[k.reader]
	}
	return out
}
