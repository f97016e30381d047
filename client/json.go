package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// jsonReply is what a broker answers at /json/. The reference broker writes
// ports as texts.
type jsonReply struct {
	Ticket   string                    `json:"next-authid"`
	Profiles map[string]map[string]any `json:"profiles"`
	Selected struct {
		Server  string `json:"server"`
		Port    any    `json:"port"`
		Key     string `json:"key"`
		Session string `json:"session_info"`
	} `json:"selected_session"`
}

// isJSON is whether the reply is for python-x2go.
func isJSON(contentType string) bool {
	return strings.HasPrefix(contentType, "text/json") || strings.HasPrefix(contentType, "application/json")
}

func parseJSON(text string) (*jsonReply, error) {
	r := new(jsonReply)
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return nil, fmt.Errorf("the reply is no JSON: %w", err)
	}
	return r, nil
}

// list gives the profiles by id: an object has no order.
func (r *jsonReply) list() []Profile {
	var out []Profile
	for _, id := range slices.Sorted(maps.Keys(r.Profiles)) {
		p := Profile{ID: id, Keys: map[string]string{}, Raw: map[string]string{}}
		for key, value := range r.Profiles[id] {
			p.Keys[key] = textOf(value)
			p.Raw[key] = p.Keys[key]
		}
		out = append(out, p)
	}
	return out
}

func (r *jsonReply) server() (Server, error) {
	port, err := strconv.ParseUint(textOf(r.Selected.Port), 10, 16)
	if err != nil || r.Selected.Server == "" {
		return Server{}, errors.New("the reply names no server")
	}
	if r.Selected.Server == "no-server-available" { // what brokers say to python-x2go
		return Server{}, fmt.Errorf("%w: no server available for this profile", ErrDenied)
	}
	return Server{Address: r.Selected.Server, Port: int(port), Session: r.Selected.Session, Key: r.Selected.Key != ""}, nil
}

// textOf writes a value as an INI list would have it.
func textOf(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "1"
		}
		return "0"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, textOf(one))
		}
		return strings.Join(all, ",")
	}
	return fmt.Sprint(value)
}
