// Checks a served log with golang.org/x/mod/sumdb: check URL VKEY.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return value
}

func get(url string) []byte {
	answer := must(http.Get(url))
	defer answer.Body.Close()
	body := must(io.ReadAll(answer.Body))
	if answer.StatusCode != 200 {
		fmt.Println(url, answer.Status, string(body))
		os.Exit(1)
	}
	return body
}

// hashes reads a list of hexadecimal hashes of a JSON answer.
func hashes(answer []byte, field string) []tlog.Hash {
	var fields map[string]json.RawMessage
	must(0, json.Unmarshal(answer, &fields))
	var texts []string
	must(0, json.Unmarshal(fields[field], &texts))
	var found []tlog.Hash
	for _, text := range texts {
		found = append(found, tlog.Hash(*(*[32]byte)(must(hex.DecodeString(text)))))
	}
	return found
}

func main() {
	url, vkey := os.Args[1], os.Args[2]
	verifier := must(note.NewVerifier(vkey))
	opened := must(note.Open(get(url+"/checkpoint"), note.VerifierList(verifier)))
	if len(opened.Sigs) != 1 {
		fmt.Println("the log has not signed once", opened.Sigs)
		os.Exit(1)
	}
	lines := strings.Split(opened.Text, "\n")
	size := must(strconv.ParseInt(lines[1], 10, 64))
	root := tlog.Hash(*(*[32]byte)(must(base64.StdEncoding.DecodeString(lines[2]))))
	olds := map[int64]tlog.Hash{}
	for index := int64(0); index < size; index++ {
		leaf := tlog.RecordHash([]byte(fmt.Sprintf("entry %d", index)))
		proof := hashes(get(fmt.Sprintf("%s/v1/proof?index=%d", url, index)), "siblings")
		must(0, tlog.CheckRecord(proof, size, root, index, leaf))
		// The root of a past size, by proofs for that size.
		if index%50 == 0 {
			answer := get(fmt.Sprintf("%s/v1/proof?index=%d&size=%d", url, index, index+1))
			var fields struct{ Root string }
			must(0, json.Unmarshal(answer, &fields))
			old := tlog.Hash(*(*[32]byte)(must(hex.DecodeString(fields.Root))))
			must(0, tlog.CheckRecord(hashes(answer, "siblings"), index+1, old, index, leaf))
			olds[index+1] = old
		}
	}
	for old, hash := range olds {
		proof := hashes(get(fmt.Sprintf("%s/v1/consistency?from=%d&to=%d", url, old, size)), "hashes")
		must(0, tlog.CheckTree(proof, size, root, old, hash))
	}
	fmt.Println("checked", size)
}
