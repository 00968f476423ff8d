// Package snstest is a simulated Stormshield Network Security (SNS) appliance: an SSH server that runs real shell
// commands on a real folder, and the HTTPS API of "serverd" in front of a blacklist whose entries end in real time.
//
// Its one job is to behave towards a client as the real appliance is known to behave: the answers captured from
// SNS 4.8.15, what the vendor's Python client decides by, the vendor's CLI reference, and the traps in them (a
// brute-force protection that counts web and SSH together, sessions that see the files as they were when they were
// opened, groups that are resolved once, translated messages, a certificate without a name Go would look at). Where no
// source shows what a real one does, the stricter behaviour is the default and a switch of [Faults] gives the other.
//
// It never shares code with the client it serves as a counterpart for (it imports no other package of this module, so
// that a misunderstanding cannot hide in both), never listens beyond the loopback interface, and never needs root.
//
// The main type is [Appliance]: New or Start makes one, its methods tell how to reach it, let a test look at what it
// blocks and what it was asked, and let the rest of the world act on it (administrators, reboots, faults). A [Link] puts
// it at the other end of a slow network.
// The program in snstest/appliance runs one by hand.
package snstest
