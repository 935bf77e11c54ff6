// Checks a recorded history of carts (test/history/recorder.ts) for linearizability with porcupine, apart from our own checker.
// Each cart is a register of contents and a version that goes up by one with every write that changes something.
//
//	go run . history.ndjson        exit status 0: linearizable, 1: not, 2: the file cannot be read, 3: not decided in time
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

type edit struct {
	Do       string `json:"do"`
	Sku      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type outcome struct {
	Result   string  `json:"result"`
	Version  int     `json:"version"`
	Contents *string `json:"contents"`
}

// line is an invocation, or what became of the one with the same id.
type line struct {
	ID        int      `json:"id"`
	Client    int      `json:"client"`
	Kind      string   `json:"kind"`
	User      string   `json:"user"`
	Edit      *edit    `json:"edit"`
	InvokedUs int64    `json:"invokedUs"`
	Completed int64    `json:"completedUs"`
	Outcome   *outcome `json:"outcome"`
}

type cart struct {
	version  int
	contents string
}

func apply(contents string, change edit) string {
	lines := map[string]int{}
	for _, part := range strings.Split(contents, ",") {
		if sku, quantity, found := strings.Cut(part, ":"); found {
			lines[sku], _ = strconv.Atoi(quantity)
		}
	}
	switch change.Do {
	case "add":
		lines[change.Sku] += change.Quantity
	case "set":
		lines[change.Sku] = change.Quantity
		if change.Quantity == 0 {
			delete(lines, change.Sku)
		}
	case "remove":
		delete(lines, change.Sku)
	case "clear":
		lines = map[string]int{}
	}
	parts := make([]string, 0, len(lines))
	for sku, quantity := range lines {
		parts = append(parts, sku+":"+strconv.Itoa(quantity))
	}
	sort.Strings(parts)
	return strings.Join(parts, ",")
}

func step(state, input, output any) (bool, any) {
	now, asked, told := state.(cart), input.(line), output.(*outcome)
	if asked.Kind == "write" {
		if next := apply(now.contents, *asked.Edit); next != now.contents {
			now = cart{now.version + 1, next}
		}
	}
	if told == nil { // nobody knows what it was told
		return true, now
	}
	fits := told.Version == now.version && (told.Contents == nil || *told.Contents == now.contents)
	return fits, now
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . history.ndjson")
		os.Exit(2)
	}
	operations, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byUser := map[string][]porcupine.Operation{}
			for _, operation := range history {
				user := operation.Input.(line).User
				byUser[user] = append(byUser[user], operation)
			}
			parts := make([][]porcupine.Operation, 0, len(byUser))
			for _, part := range byUser {
				parts = append(parts, part)
			}
			return parts
		},
		Init:  func() any { return cart{} },
		Step:  step,
		Equal: func(a, b any) bool { return a == b },
	}
	switch porcupine.CheckOperationsTimeout(model, operations, time.Minute) {
	case porcupine.Ok:
		fmt.Printf("porcupine: %d operations, linearizable\n", len(operations))
	case porcupine.Illegal:
		fmt.Printf("porcupine: %d operations, NOT linearizable\n", len(operations))
		os.Exit(1)
	default:
		fmt.Printf("porcupine: %d operations, not decided within a minute\n", len(operations))
		os.Exit(3)
	}
}

// read takes the operations on carts that may have happened: what was refused has not.
func read(path string) ([]porcupine.Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := map[int]*line{}
	order := []int{}
	scanner := bufio.NewScanner(file)
	scanner.Buffer(make([]byte, 1<<20), 1<<20)
	for scanner.Scan() {
		var entry line
		if err := json.Unmarshal(scanner.Bytes(), &entry); err != nil {
			continue // the half line of a client that died
		}
		if known, found := lines[entry.ID]; found {
			known.Completed, known.Outcome = entry.Completed, entry.Outcome
		} else { // whole, or only what was sent
			lines[entry.ID] = &entry
			order = append(order, entry.ID)
		}
	}
	operations := []porcupine.Operation{}
	for _, id := range order {
		entry := lines[id]
		if entry.Kind != "write" && entry.Kind != "read" {
			continue
		}
		isKnown := entry.Outcome != nil && entry.Outcome.Result == "ok"
		isRefused := entry.Outcome != nil && entry.Outcome.Result == "fail"
		if isRefused || (entry.Kind == "read" && !isKnown) {
			continue
		}
		operation := porcupine.Operation{ClientId: entry.Client, Input: *entry, Call: entry.InvokedUs, Output: (*outcome)(nil), Return: math.MaxInt64}
		if isKnown {
			operation.Output, operation.Return = entry.Outcome, entry.Completed
		}
		operations = append(operations, operation)
	}
	return operations, scanner.Err()
}
