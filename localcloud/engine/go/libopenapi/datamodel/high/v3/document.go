// Package v3 has the types of an OpenAPI 3 description, without anything that reads one.
package v3

import (
	"github.com/pb33f/libopenapi/datamodel/high/base"
	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Document is a whole description.
type Document struct {
	Components *Components
	Info       *base.Info
	Paths      *Paths
}

// Components are the parts that others refer to.
type Components struct {
	Schemas *orderedmap.Map[string, *base.SchemaProxy]
}

// Paths are the addresses.
type Paths struct {
	PathItems *orderedmap.Map[string, *PathItem]
}

// PathItem has an operation for each method.
type PathItem struct {
	Delete, Get, Head, Patch, Post, Put *Operation
}

// Operation is one method of one path.
type Operation struct {
	Deprecated  *bool
	Description string
	Extensions  *orderedmap.Map[string, *yaml.Node]
	OperationId string
	Parameters  []*Parameter
	RequestBody *RequestBody
	Responses   *Responses
	Summary     string
	Tags        []string
}

// Parameter is one of an operation's.
type Parameter struct {
	Description string
	In          string
	Name        string
	Required    *bool
	Schema      *base.SchemaProxy
}

// RequestBody is what an operation takes.
type RequestBody struct {
	Content *orderedmap.Map[string, *MediaType]
}

// Responses are an operation's by status.
type Responses struct {
	Codes   *orderedmap.Map[string, *Response]
	Default *Response
}

// Response is one of them.
type Response struct {
	Content     *orderedmap.Map[string, *MediaType]
	Description string
}

// MediaType has the schema of one content type.
type MediaType struct {
	Schema *base.SchemaProxy
}
