// Package libopenapi takes the place of the OpenAPI library that the CLI reads Pulumi Cloud's
// description with, for its command `pulumi api` alone. Compiling that library is a fifth of the
// engine's whole build, and the local cloud has no Pulumi Cloud: here the command answers that it
// is not in this build. The other packages of this module are the types that it is written with.
package libopenapi

import (
	"errors"

	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Document is a description that could not be read.
type Document interface {
	BuildV3Model() (*DocumentModel[v3.Document], error)
}

// DocumentModel holds what a description says.
type DocumentModel[T any] struct {
	Model T
}

// NewDocument refuses every description.
func NewDocument([]byte) (Document, error) {
	return nil, errors.New(
		"this engine of the local cloud was built without the commands for Pulumi Cloud; " +
			"install the official Pulumi CLI for them")
}
