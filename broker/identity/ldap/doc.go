// Package ldap asks a directory (OpenLDAP, Active Directory, 389, FreeIPA)
// whether a password is right, whether an account is still good, and which
// groups a user is in.
//
// # What it promises
//
//   - A user is found by a search and then checked by a bind under the name of
//     the entry found. Exactly one entry, or the login is refused.
//   - No name changes the shape of a filter, whatever is in it.
//   - No password travels in clear: the server has ldaps:// or StartTLS, with a
//     certificate that was checked. Only a server on loopback, or the word of the
//     operator, makes an exception.
//   - An empty password never reaches a bind, because to many servers that is an
//     anonymous login that succeeds (RFC 4513 section 5.1.2).
//   - What the directory could not answer is a denial, and never "no groups".
//   - A server's answer is bounded in time, bytes, entries and depth.
//
// It does not follow referrals and does not change passwords.
package ldap
