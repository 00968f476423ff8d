package plugin

import "google.golang.org/grpc"

// SurvivePanics is the interceptor of every call.
var SurvivePanics = survivePanics

// CallInfo names a call.
func CallInfo(name string) *grpc.UnaryServerInfo { return &grpc.UnaryServerInfo{FullMethod: name} }

// FirstForSocket returns the first folder that takes go-plugin's socket.
var FirstForSocket = firstForSocket

// LongestSocketFolder is how long the path of such a folder may be.
const LongestSocketFolder = longestSocketFolder
