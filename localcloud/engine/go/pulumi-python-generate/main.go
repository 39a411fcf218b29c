// Command pulumi-python-generate turns Pulumi's intermediate language (PCL) into Python: what `pulumi import`
// prints for the resources that it took over. It is the generator of the official language host,
// behind standard input and output instead of gRPC, for our language host to call.
//
//	stdin:  {"source": {"<file>": "<PCL>"}, "loader": "<address of the CLI's schema loader>", "strict": false}
//	stdout: {"files": {"<file>": "<Python>"}, "diagnostics": [{"error": true, "summary": "", "detail": ""}]}
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/pulumi/pulumi/pkg/v3/codegen/hcl2/syntax"
	"github.com/pulumi/pulumi/pkg/v3/codegen/pcl"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

type request struct {
	Source map[string]string `json:"source"`
	Loader string            `json:"loader"`
	Strict bool              `json:"strict"`
}

type diagnostic struct {
	Error   bool   `json:"error"`
	Summary string `json:"summary"`
	Detail  string `json:"detail"`
}

type response struct {
	Files       map[string]string `json:"files"`
	Diagnostics []diagnostic      `json:"diagnostics"`
}

func generate(in request) (map[string][]byte, hcl.Diagnostics, error) {
	loader, err := schema.NewLoaderClient(in.Loader)
	if err != nil {
		return nil, nil, err
	}
	defer loader.Close()

	parser := syntax.NewParser()
	for name, text := range in.Source {
		if err := parser.ParseFile(strings.NewReader(text), name); err != nil {
			return nil, nil, err
		}
	}
	if parser.Diagnostics.HasErrors() {
		return nil, parser.Diagnostics, nil
	}

	var options []pcl.BindOption
	if !in.Strict {
		options = pcl.NonStrictBindOptions()
	}
	program, diagnostics, err := pcl.BindProgram(parser.Files, schema.NewCachedLoader(loader), options...)
	if err != nil || diagnostics.HasErrors() {
		return nil, diagnostics, err
	}
	files, more, err := python.GenerateProgram(program)
	return files, append(diagnostics, more...), err
}

func main() {
	var in request
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, "reading the request:", err)
		os.Exit(1)
	}
	files, diagnostics, err := generate(in)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := response{Files: map[string]string{}, Diagnostics: []diagnostic{}}
	for name, content := range files {
		out.Files[name] = string(content)
	}
	for _, d := range diagnostics {
		out.Diagnostics = append(out.Diagnostics, diagnostic{
			Error: d.Severity == hcl.DiagError, Summary: d.Summary, Detail: d.Detail,
		})
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, "writing the answer:", err)
		os.Exit(1)
	}
}
