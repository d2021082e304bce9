// Checks the signed checkpoints and the proofs of an evidence bundle with the Go team's own packages for notes and
// transparent logs. Of asg-mcp it knows only the names of the files in a bundle.
//
//	c2spcheck BUNDLE.zip VKEY
//
// Exit code 0: all of them are accepted. 1: what is refused is told on standard error. 2: the wrong arguments.
package main

import (
	"archive/zip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	opening   = "checkpoint-open.txt"
	seal      = "checkpoint-seal.txt"
	sealProof = "seal.tlog-proof"
	proofs    = "proofs.json"
	events    = "events.cborseq"
	about     = "log.json"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: c2spcheck BUNDLE.zip VKEY")
		os.Exit(2)
	}
	told, err := check(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Println(told)
}

func check(bundle, vkey string) (string, error) {
	files, err := unzip(bundle)
	if err != nil {
		return "", err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return "", err
	}
	old, err := openCheckpoint(files[opening], verifier)
	if err != nil {
		return "", fmt.Errorf("%s: %w", opening, err)
	}
	tree, err := openCheckpoint(files[seal], verifier)
	if err != nil {
		return "", fmt.Errorf("%s: %w", seal, err)
	}
	records, first, err := readRecords(files)
	if err != nil {
		return "", err
	}
	included, err := checkProofs(files[proofs], old, tree, records, first)
	if err != nil {
		return "", fmt.Errorf("%s: %w", proofs, err)
	}
	if err := checkSealProof(files[sealProof], verifier, records, first); err != nil {
		return "", fmt.Errorf("%s: %w", sealProof, err)
	}
	return fmt.Sprintf("accepted: %s, checkpoints of sizes %d and %d, %d proofs of inclusion, 1 of consistency",
		verifier.Name(), old.N, tree.N, included+1), nil
}

// checkProofs checks what proofs.json holds, and returns how many records it proves.
func checkProofs(data []byte, old, tree tlog.Tree, records [][]byte, first int64) (int, error) {
	var given struct {
		Consistency tlog.TreeProof
		Inclusion   []struct {
			Index int64
			Leaf  tlog.Hash
			Proof tlog.RecordProof
		}
	}
	if err := json.Unmarshal(data, &given); err != nil {
		return 0, err
	}
	if err := tlog.CheckTree(given.Consistency, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return 0, fmt.Errorf("consistency: %w", err)
	}
	for _, one := range given.Inclusion {
		if err := tlog.CheckRecord(one.Proof, tree.N, tree.Hash, one.Index, one.Leaf); err != nil {
			return 0, fmt.Errorf("inclusion of %d: %w", one.Index, err)
		}
		record, err := recordAt(records, first, one.Index)
		if err != nil {
			return 0, err
		}
		if tlog.RecordHash(record) != one.Leaf {
			return 0, fmt.Errorf("inclusion of %d: the leaf is not the record's", one.Index)
		}
	}
	return len(given.Inclusion), nil
}

// checkSealProof checks a c2sp.org/tlog-proof, which brings its own checkpoint. x/mod has no reader of that format.
func checkSealProof(data []byte, verifier note.Verifier, records [][]byte, first int64) error {
	head, checkpoint, found := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof")
	}
	digits, found := strings.CutPrefix(lines[1], "index ")
	index, err := strconv.ParseInt(digits, 10, 64)
	if !found || err != nil {
		return errors.New("no index")
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := openCheckpoint([]byte(checkpoint), verifier)
	if err != nil {
		return err
	}
	record, err := recordAt(records, first, index)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(record))
}

// openCheckpoint verifies a signed checkpoint, whose first line has to be the name of the key, and reads its tree.
func openCheckpoint(signed []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("the checkpoint is one of %q", origin)
	}
	// tlog-checkpoint was made from the tree format of Go's checksum database by letting the first line be any origin.
	// ParseTree still takes none but its own, so it is given that one; size and root are read by it as they are.
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

func recordAt(records [][]byte, first, index int64) ([]byte, error) {
	if index < first || index-first >= int64(len(records)) {
		return nil, fmt.Errorf("the bundle has no record %d", index)
	}
	return records[index-first], nil
}

// readRecords returns the records of the log that the bundle has, and the index of the first of them.
func readRecords(files map[string][]byte) ([][]byte, int64, error) {
	var log struct{ First int64 }
	if err := json.Unmarshal(files[about], &log); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", about, err)
	}
	var records [][]byte
	for rest := files[events]; len(rest) > 0; {
		end, err := itemEnd(rest, 0)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", events, err)
		}
		records = append(records, rest[:end])
		rest = rest[end:]
	}
	return records, log.First, nil
}

// itemEnd returns where the CBOR item ends that begins at a place. Lengths are definite, as canonical CBOR has them.
func itemEnd(data []byte, at uint64) (uint64, error) {
	size := uint64(len(data))
	if at >= size {
		return 0, io.ErrUnexpectedEOF
	}
	major, argument, width := data[at]>>5, uint64(data[at]&31), uint64(0)
	at++
	if argument > 27 {
		return 0, errors.New("an item of indefinite length")
	}
	if argument > 23 {
		width = 1 << (argument - 24)
		if width > size-at {
			return 0, io.ErrUnexpectedEOF
		}
		var wide [8]byte
		copy(wide[8-width:], data[at:at+width])
		argument, at = binary.BigEndian.Uint64(wide[:]), at+width
	}
	inner := uint64(0)
	switch major {
	case 2, 3:
		if argument > size-at {
			return 0, io.ErrUnexpectedEOF
		}
		return at + argument, nil
	case 4:
		inner = argument
	case 5:
		inner = 2 * argument
	case 6:
		inner = 1
	}
	for ; inner > 0; inner-- {
		var err error
		if at, err = itemEnd(data, at); err != nil {
			return 0, err
		}
	}
	return at, nil
}

func unzip(bundle string) (map[string][]byte, error) {
	archive, err := zip.OpenReader(bundle)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	files := map[string][]byte{}
	for _, entry := range archive.File {
		content, err := entry.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name, err)
		}
		files[entry.Name], err = io.ReadAll(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name, err)
		}
	}
	return files, nil
}
