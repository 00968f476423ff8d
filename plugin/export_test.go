package plugin

import "google.golang.org/grpc"

// Survive is what every call goes through.
var Survive = survive

// CallInfo names a call.
func CallInfo(name string) *grpc.UnaryServerInfo { return &grpc.UnaryServerInfo{FullMethod: name} }
