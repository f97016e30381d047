package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// sshSign is a command of the scripts: it does of ssh-keygen(1) what git needs
// to sign, on machines that have Go and git only. A key is made of its name.
//
//	ssh-sign NAME                                 prints the public key
//	ssh-sign -Y sign -n NAMESPACE -f NAME FILE    writes FILE.sig; how git calls it
func sshSign() {
	if err := signFile(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ssh-sign:", err)
		os.Exit(1)
	}
}

func signFile(args []string) error {
	name := args[0]
	if len(args) == 7 {
		name = args[5]
	}
	seed := sha256.Sum256([]byte(name))
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		return err
	}
	if len(args) == 1 {
		_, err := os.Stdout.Write(ssh.MarshalAuthorizedKey(key.PublicKey()))
		return err
	}
	if len(args) != 7 {
		return fmt.Errorf("unexpected arguments %q", args)
	}
	data, err := os.ReadFile(args[6])
	if err != nil {
		return err
	}
	sig, err := sshsig.Sign(bytes.NewReader(data), key, sshsig.HashSHA512, args[3])
	if err != nil {
		return err
	}
	return os.WriteFile(args[6]+".sig", sshsig.Armor(sig), 0o600)
}
