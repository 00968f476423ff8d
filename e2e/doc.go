// Package e2e tests the plugin with real programs: CrowdSec (1.7.8, and 1.4.6 of Debian 12), an OpenSSH server whose user
// has /bin/sh or /bin/csh as login shell, and the HTTPS API of the simulated appliance on the same folder.
//
// The main type is [Environment]: one appliance, one CrowdSec and one plugin for one test. All its files are below one
// temporary folder, all its ports are on loopback, and its accounts are private. A test says what must be on the
// blacklist, and when. The package imports no package of the plugin. It knows what a user knows: the binary, its
// configuration and its commands.
//
// It also installs, upgrades and removes the packages, in small Debian systems that are folders ([debian]). And it runs
// the image and the Compose file as a container engine does, in namespaces ([container]).
package e2e
