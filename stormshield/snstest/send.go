package snstest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
)

// send answers with a document. It compresses the document unless the client asks for identity. A compressed answer has both
// Content-Length and Transfer-Encoding: chunked, as real appliances were seen to send. The connection then ends, because the
// two headers disagree about where the next answer begins.
func send(w http.ResponseWriter, r *http.Request, f *Faults, document string) {
	if f.MalformedXML {
		document = strings.Replace(document, `msg="`, `msg="<&`, 1) + "</nws"
	}
	body := []byte(document)
	header := w.Header()
	header.Set("Content-Type", "text/xml; charset=UTF-8")
	if f.Latin1 {
		header.Set("Content-Type", "text/xml")
		body = latin1(document)
	}
	header.Set("Cache-Control", "no-store")
	compressed := f.CompressAnyway || !asksIdentity(r)
	if compressed {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // a Buffer never fails
		_ = z.Close()
		body = b.Bytes()
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", fmt.Sprint(len(body)))
	switch {
	case f.TruncateBody:
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case compressed:
		sendBothLengths(w, body)
	default:
		_, _ = w.Write(body)
	}
}

// latin1 encodes a text in ISO-8859-1, with a question mark for every other character.
func latin1(text string) []byte {
	var b []byte
	for _, r := range text {
		if r > 0xff {
			r = '?'
		}
		b = append(b, byte(r))
	}
	return b
}

// sendPage answers with a page for browsers; status 0 is 200.
func sendPage(w http.ResponseWriter, status int) {
	if status == 0 {
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>%[1]d %[2]s</title>\n</head><body>\n<h1>%[2]s</h1>\n<hr>\n</body></html>\n",
		status, http.StatusText(status))
}

// asksIdentity reports whether the client asks for an answer without compression.
func asksIdentity(r *http.Request) bool {
	for _, field := range r.Header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(field, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			weight := strings.ReplaceAll(parameters, " ", "")
			if strings.EqualFold(strings.TrimSpace(name), "identity") && weight != "q=0" {
				return true
			}
		}
	}
	return false
}

func sendBothLengths(w http.ResponseWriter, body []byte) {
	conn, stream, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_, _ = w.Write(body)
		return
	}
	defer conn.Close()
	header := w.Header()
	header.Set("Transfer-Encoding", "chunked")
	header.Set("Connection", "close")
	fmt.Fprint(stream, "HTTP/1.1 200 OK\r\n")
	_ = header.Write(stream)
	fmt.Fprintf(stream, "\r\n%x\r\n", len(body))
	_, _ = stream.Write(body)
	fmt.Fprint(stream, "\r\n0\r\n\r\n")
	_ = stream.Flush() // the client notices an incomplete answer
}
