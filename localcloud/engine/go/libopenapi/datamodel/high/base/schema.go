// Package base has the types of OpenAPI's schemas, without anything that reads them.
package base

import (
	"errors"

	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Schema is OpenAPI's schema object.
type Schema struct {
	AdditionalProperties *DynamicValue[*SchemaProxy, bool]
	AllOf                []*SchemaProxy
	AnyOf                []*SchemaProxy
	Default              *yaml.Node
	Description          string
	Discriminator        *Discriminator
	Enum                 []*yaml.Node
	Extensions           *orderedmap.Map[string, *yaml.Node]
	Format               string
	Items                *DynamicValue[*SchemaProxy, bool]
	MaxLength            *int64
	Maximum              *float64
	MinLength            *int64
	Minimum              *float64
	MultipleOf           *float64
	Nullable             *bool
	OneOf                []*SchemaProxy
	Pattern              string
	Properties           *orderedmap.Map[string, *SchemaProxy]
	ReadOnly             *bool
	Required             []string
	Type                 []string
}

// Source is what a schema was read from.
type Source struct{}

// Hash identifies the source.
func (*Source) Hash() uint64 { return 0 }

// GoLow is nil: no schema was read from anything.
func (*Schema) GoLow() *Source { return nil }

// MarshalJSONInline says that there is nothing to write.
func (*Schema) MarshalJSONInline() ([]byte, error) {
	return nil, errors.New("no schema was read")
}

// SchemaProxy refers to a schema.
type SchemaProxy struct{}

// Schema is nil: no schema was read.
func (*SchemaProxy) Schema() *Schema { return nil }

// DynamicValue is one of two.
type DynamicValue[A any, B any] struct {
	A A
	B B
}

// IsA tells that it is the first.
func (*DynamicValue[A, B]) IsA() bool { return true }

// Discriminator tells the variants of a schema apart.
type Discriminator struct {
	PropertyName string
	Mapping      *orderedmap.Map[string, string]
}

// Info is about the description itself.
type Info struct {
	Version string
}
