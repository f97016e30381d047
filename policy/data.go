package policy

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/x2broker/x2broker/schema"
)

// catalogData gives the catalog as policies see it at data.site. Keys are those
// of the site's CUE files; profiles carry the ids of their servers in place of
// the hosts that name them, and sets stay arrays.
func catalogData(cat *schema.Catalog) (ast.Value, error) {
	networks := make(map[string]any, len(cat.Networks))
	for name, n := range cat.Networks {
		cidrs := make([]any, len(n.Prefixes))
		for i, p := range n.Prefixes {
			cidrs[i] = p.String()
		}
		networks[name] = cidrs
	}
	servers := make(map[string]any, len(cat.Servers))
	for id, s := range cat.Servers {
		servers[id] = serverData(s)
	}
	profiles := make(map[string]any, len(cat.Profiles))
	for id, p := range cat.Profiles {
		profiles[id] = profileData(p)
	}
	params := cat.Params
	if params == nil {
		params = map[string]any{}
	}
	v, err := ast.InterfaceToValue(map[string]any{
		"site":     map[string]any{"name": cat.Site.Name, "timezone": cat.Site.Timezone},
		"networks": networks,
		"params":   params,
		"servers":  servers,
		"profiles": profiles,
	})
	if err != nil {
		return nil, fmt.Errorf("give the catalog to the policies: %w", err)
	}
	return v, nil
}

// catalogParts lists what is at data.site.
func catalogParts() []string { return []string{"networks", "params", "profiles", "servers", "site"} }

func serverData(s *schema.Server) map[string]any {
	capacity := map[string]any{}
	if s.Sessions > 0 {
		capacity["sessions"] = s.Sessions
	}
	return map[string]any{
		"address":  s.Address,
		"port":     s.Port,
		"hostname": s.Hostname,
		"labels":   stringMap(s.Labels),
		"weight":   s.Weight,
		"capacity": capacity,
		"state":    string(s.State),
	}
}

func profileData(p *schema.Profile) map[string]any {
	settings := make(map[string]any, len(p.Settings))
	for _, s := range p.Settings {
		if list, ok := s.Value.([]string); ok {
			settings[s.Key] = array(list)
			continue
		}
		settings[s.Key] = s.Value
	}
	return map[string]any{
		"name":    p.Name,
		"labels":  stringMap(p.Labels),
		"x2go":    settings,
		"servers": array(p.Servers),
		"access": map[string]any{
			"everyone": p.Access.Everyone,
			"users":    array(p.Access.Users),
			"groups":   array(p.Access.Groups),
			"from":     array(p.Access.From),
			"deny": map[string]any{
				"users":  array(p.Access.Deny.Users),
				"groups": array(p.Access.Deny.Groups),
				"from":   array(p.Access.Deny.From),
			},
		},
		"autologin":     p.Autologin,
		"usebrokerpass": p.UseBrokerPass,
		"icon":          p.Icon,
	}
}

func stringMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// array keeps an absent list apart from an absent field: it gives [].
func array(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
