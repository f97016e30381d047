package config

import "path/filepath"

// pam checks where x2broker-authd is said to listen; "" is the default.
func (p *problems) pam(field, socket string) *PAM {
	if socket == "" {
		socket = DefaultPAMSocket
	}
	if !filepath.IsAbs(socket) {
		p.add(field+".socket", "%q is not an absolute path, like %q", socket, DefaultPAMSocket)
	}
	return &PAM{Socket: socket}
}
