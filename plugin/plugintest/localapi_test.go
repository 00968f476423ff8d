package plugintest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAFakeLocalAPIListsADecisionUntilItsEnd(t *testing.T) {
	l := NewLocalAPI()
	defer l.Close()
	poll := func(startup string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.URL()+"v1/decisions/stream?startup="+startup, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Api-Key", l.Key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	until := time.Now().Add(300 * time.Millisecond)
	l.AddUntil(NewUUID(), "192.0.2.0/28", until)
	l.Add(NewUUID(), "192.0.2.99")
	fresh, deleted, _ := strings.Cut(poll("true"), `"deleted"`)
	if !strings.Contains(fresh, `"scope":"Range"`) || !strings.Contains(fresh, "192.0.2.99") || strings.Contains(deleted, "192") {
		t.Errorf("before the end: %s, deleted %s", fresh, deleted)
	}
	time.Sleep(time.Until(until))
	_, deleted, _ = strings.Cut(poll("false"), `"deleted"`)
	if !strings.Contains(deleted, "192.0.2.0/28") || strings.Contains(deleted, "192.0.2.99") {
		t.Errorf("after the end: deleted %s", deleted)
	}
	if all := poll("true"); strings.Contains(all, "192.0.2.0/28") || !strings.Contains(all, "192.0.2.99") {
		t.Errorf("a full read after the end: %s", all)
	}
}
