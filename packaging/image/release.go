package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// release describes the image that goes into the archive.
type release struct {
	name, version, commit string
	created               time.Time
	roots                 []root
}

// tag returns the version as a tag. The version of a package may have ~ and +, which a tag must not have.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
func (r release) tag() string { return strings.NewReplacer("~", "-", "+", "-").Replace(r.version) }

// root is the file system of the image for one architecture.
type root struct{ architecture, folder string }

const (
	program = "/crowdsec-stormshield"
	// pluginFolder is the folder of the default command. A volume that CrowdSec's container also has is mounted there.
	pluginFolder = "/plugins"
)

// image returns the image for one architecture. It has one layer.
func (r release) image(from root) (v1.Image, error) {
	var files bytes.Buffer
	if err := pack(&files, from.folder, r.created); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil },
		tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.created}, CreatedBy: "make image"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS, config.Created = from.architecture, "linux", v1.Time{Time: r.created}
	config.Config = v1.Config{
		Entrypoint: []string{program}, Cmd: []string{"install", pluginFolder}, Labels: r.labels(),
		Env: []string{"PATH=/"}, WorkingDir: "/",
	}
	return mutate.ConfigFile(image, config)
}

// labels returns the labels of the image: https://github.com/opencontainers/image-spec/blob/main/annotations.md
func (r release) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       r.name,
		prefix + "description": "Keeps CrowdSec's bans enforced on Stormshield firewalls: the plugin, to be copied into CrowdSec's container",
		prefix + "version":     r.version,
		prefix + "revision":    r.commit,
		prefix + "created":     r.created.Format(time.RFC3339),
		prefix + "licenses":    "MIT",
	}
}

// index returns the index that names the image for each architecture.
func (r release) index() (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, from := range r.roots {
		image, err := r.image(from)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: untyped{image}, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: from.architecture}},
		})
	}
	return index, nil
}

// untyped is an image without a type of artifact, so the index does not get the key artifactType. A program that does not know this key
// drops it when it copies the index, and the digest changes: https://github.com/opencontainers/image-spec/blob/main/image-index.md
type untyped struct{ v1.Image }

// ArtifactType returns no type. go-containerregistry asks for it to write the index.
func (untyped) ArtifactType() (string, error) { return "", nil }
