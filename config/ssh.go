package config

// UsesSSH reports whether the document has credentials for SSH. Without them the plugin uses the API only.
func (s Stormshield) UsesSSH() bool {
	return s.SSHPassword != "" || s.SSHPasswordPath != "" || s.SSHPrivateKeyPath != ""
}

// SetDefaultsWithoutSSH sets each key that has another default without credentials for SSH to that default.
func (d *Document) SetDefaultsWithoutSSH() {
	for _, k := range keys {
		k.setDefault(d, k.withoutSSH)
	}
}

// setDefaultsWithoutSSH does the same for the keys without a value. A forgotten password, or a variable without a value, must not
// switch SSH off. So an empty credential is a fault.
func (p *parser) setDefaultsWithoutSSH() {
	s := &p.doc.Stormshield
	if s.UsesSSH() {
		return
	}
	for _, name := range []string{"ssh_password", "ssh_password_path", "ssh_private_key_path"} {
		k, _ := findKey("stormshield", name)
		line := p.lines[k.path()]
		if line == 0 {
			continue
		}
		if !p.unset[k.path()] {
			p.addFault(line, k.path(), problem{"is empty, and there is no other credential for SSH",
				"write it, or remove the line to work over the API alone, which blocks single addresses only"})
		}
		s.SSHPassword = "missing" // a placeholder, so that checkValues also finds the faults of a document with SSH
	}
	for _, k := range keys {
		if !s.UsesSSH() && !p.given[k.path()] {
			k.setDefault(&p.doc, k.withoutSSH)
		}
	}
}
