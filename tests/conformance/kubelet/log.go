package kubelet

import (
	"bytes"
	"sync"
	"time"
)

// lineLog keeps what a process prints, each line with the time at which its end came.
type lineLog struct {
	mutex   sync.Mutex
	partial bytes.Buffer
	lines   []line
	now     func() time.Time
}

type line struct {
	at   time.Time
	text []byte
}

// Write never fails.
func (l *lineLog) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.partial.Write(text)
	for {
		end := bytes.IndexByte(l.partial.Bytes(), '\n')
		if end < 0 {
			return len(text), nil
		}
		l.lines = append(l.lines, line{at: l.now(), text: bytes.Clone(l.partial.Next(end + 1))})
	}
}

// since gives the lines from then on.
func (l *lineLog) since(then time.Time) []byte {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	text := []byte{}
	for _, line := range l.lines {
		if !line.at.Before(then) {
			text = append(text, line.text...)
		}
	}
	return text
}
