// Package storage takes the place of the client of Google Cloud Storage, which is an eighth of what
// there is to compile. The CLI has it as one more place for state, at gs://; the platform's state is
// in S3, and in a folder in the local cloud. Opening such a bucket is an error that says so.
package storage

import (
	"context"
	"errors"
	"time"

	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// ScopeReadWrite is what credentials for state would be asked for.
const ScopeReadWrite = "https://www.googleapis.com/auth/devstorage.read_write"

// Errors of a client that there is not.
var (
	ErrBucketNotExist = errors.New("no such bucket")
	ErrObjectNotExist = errors.New("no such object")

	errNotBuiltIn = errors.New("this engine was built without Google Cloud Storage: install the official Pulumi")
)

// NewClient makes none.
func NewClient(context.Context, ...option.ClientOption) (*Client, error) {
	return nil, errNotBuiltIn
}

// Client would open buckets.
type Client struct{}

// Bucket would be a bucket of that name.
func (*Client) Bucket(string) *BucketHandle { return &BucketHandle{} }

// BucketHandle would have objects.
type BucketHandle struct{}

// Object would be the one of that name.
func (*BucketHandle) Object(string) *ObjectHandle { return &ObjectHandle{} }

// Objects would be those that a query is for.
func (*BucketHandle) Objects(context.Context, *Query) *ObjectIterator { return &ObjectIterator{} }

// Query says which objects to list.
type Query struct{ Prefix, Delimiter string }

// ObjectIterator would list objects.
type ObjectIterator struct{ page iterator.PageInfo }

// PageInfo is that of an empty list.
func (i *ObjectIterator) PageInfo() *iterator.PageInfo { return &i.page }

// ObjectAttrs says what an object is.
type ObjectAttrs struct {
	Name, Prefix, Etag                            string
	CacheControl, ContentDisposition              string
	ContentEncoding, ContentLanguage, ContentType string
	Metadata                                      map[string]string
	MD5                                           []byte
	Size, Generation                              int64
	Created, Updated                              time.Time
}

// Conditions says when to write.
type Conditions struct{ DoesNotExist bool }

// ObjectHandle would read and write an object.
type ObjectHandle struct{}

// If would write under a condition.
func (o *ObjectHandle) If(Conditions) *ObjectHandle { return o }

// Attrs gives none.
func (*ObjectHandle) Attrs(context.Context) (*ObjectAttrs, error) { return nil, errNotBuiltIn }

// Delete deletes nothing.
func (*ObjectHandle) Delete(context.Context) error { return errNotBuiltIn }

// NewRangeReader reads nothing.
func (*ObjectHandle) NewRangeReader(context.Context, int64, int64) (*Reader, error) {
	return nil, errNotBuiltIn
}

// NewWriter writes nothing.
func (*ObjectHandle) NewWriter(context.Context) *Writer { return &Writer{} }

// CopierFrom copies nothing.
func (*ObjectHandle) CopierFrom(*ObjectHandle) *Copier { return &Copier{} }

// ReaderObjectAttrs says what is read.
type ReaderObjectAttrs struct {
	ContentType  string
	LastModified time.Time
	Size         int64
}

// Reader would read an object.
type Reader struct{ Attrs ReaderObjectAttrs }

// Read reads nothing.
func (*Reader) Read([]byte) (int, error) { return 0, errNotBuiltIn }

// Close has nothing to close.
func (*Reader) Close() error { return nil }

// Writer would write an object.
type Writer struct {
	ObjectAttrs
	ChunkSize             int
	ForceEmptyContentType bool
}

// Write writes nothing.
func (*Writer) Write([]byte) (int, error) { return 0, errNotBuiltIn }

// Close tells that nothing was written.
func (*Writer) Close() error { return errNotBuiltIn }

// Copier would copy an object.
type Copier struct{}

// Run copies nothing.
func (*Copier) Run(context.Context) (*ObjectAttrs, error) { return nil, errNotBuiltIn }

// SignedURLOptions says what an address would be for.
type SignedURLOptions struct {
	GoogleAccessID, Method, ContentType string
	PrivateKey                          []byte
	SignBytes                           func([]byte) ([]byte, error)
	Expires                             time.Time
}

// SignedURL signs nothing.
func SignedURL(string, string, *SignedURLOptions) (string, error) { return "", errNotBuiltIn }
