// Package e2e shows the plugin at work between the programs it was made for: a real CrowdSec (the newest release and
// the one Debian 12 ships), a real OpenSSH server whose user has /bin/sh or /bin/csh as login shell, and the simulated
// appliance's HTTPS API on the same folder.
//
// Its one job is to run those programs privately (every file below one temporary folder, every port on loopback, nobody
// else's accounts touched) and to let tests state what must be seen on the appliance and when. It imports no package
// of the plugin: it knows what a user knows, the binary, its configuration and its commands.
//
// It also installs, upgrades and removes the packages, in small Debian systems that are folders ([debian]).
//
// The main type is [World]: one appliance, one CrowdSec, one plugin, made for one test and gone with it.
package e2e
