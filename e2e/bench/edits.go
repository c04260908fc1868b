package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// editedImage returns the image of the sidecar that the edit with this number changes.
func editedImage(edit int) string { return fmt.Sprintf("registry.example/team/sidecar:edit-%d", edit) }

// awaitServed sends reviews of a pod that requests a sidecar, until the sidecar has an image. It returns the time
// since a moment.
func (l *lab) awaitServed(
	ctx context.Context, t *target, ref, image string, since time.Time,
) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	review, err := newReview(l.recorded, ref, reviewSize)
	if err != nil {
		return 0, err
	}
	for {
		response, err := post(ctx, t.clients[0], t.url, review)
		if err != nil {
			return 0, fmt.Errorf("waiting for %s: %w", image, err)
		}
		patch, err := patchOf(response)
		if err != nil {
			return 0, err
		}
		if bytes.Contains(patch, []byte(image)) {
			return time.Since(since), nil
		}
		if err := sleepUntil(ctx, time.Now().Add(time.Millisecond)); err != nil {
			return 0, fmt.Errorf("waiting for %s: %w", image, err)
		}
	}
}

// patchOf returns the JSON Patch of a response.
func patchOf(response []byte) ([]byte, error) {
	var review struct{ Response struct{ Patch []byte } }
	err := json.Unmarshal(response, &review)
	return review.Response.Patch, err
}

// churn edits one file after the other at a rate, until ctx ends or edit fails.
func churn(ctx context.Context, perSecond int, edit func(n int) error) error {
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := edit(n); err != nil {
			return err
		}
	}
}
