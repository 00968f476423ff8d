// Image writes a container image for several architectures into one archive. It needs no container engine.
//
//	image -name crowdsec-stormshield -version 1.2.3 -created 1700000000 -o image.tar amd64=FOLDER arm64=FOLDER
//
// Each folder becomes the file system of the image for one architecture. Every file belongs to root, and has the time of -created. So the
// same folders give the same bytes.
//
// The archive is an OCI image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md): its index names one image
// for each architecture. It also has the file manifest.json. `docker load` reads this file if Docker does not store images in containerd.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	var r release
	var path string
	var created int64
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&r.name, "name", "", "the name of the image")
	flags.StringVar(&r.version, "version", "", "its version, which is also its tag")
	flags.StringVar(&r.commit, "commit", "", "the commit of its source")
	flags.Int64Var(&created, "created", 0, "the time of every file, in seconds since 1970")
	flags.StringVar(&path, "o", "", "the archive")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	r.created = time.Unix(created, 0).UTC()
	if r.name == "" || r.version == "" || path == "" || flags.NArg() == 0 {
		return errors.New("-name, -version, -o and at least one ARCHITECTURE=FOLDER are needed")
	}
	for _, argument := range flags.Args() {
		architecture, folder, found := strings.Cut(argument, "=")
		if !found {
			return fmt.Errorf("%s is not ARCHITECTURE=FOLDER", argument)
		}
		r.roots = append(r.roots, root{architecture, folder})
	}
	return r.write(path)
}
