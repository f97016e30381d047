package golden_test

import (
	"fmt"
	"testing"
)

func TestZZSaid(t *testing.T) {
	for _, c := range transcripts(t) {
		f := oldFiles{broker: c.Config.Broker, profiles: c.Config.Profiles}
		i := f.importFiles(t)
		if len(i.said) > 0 {
			fmt.Println("##", c.Name, i.files == nil)
			for _, s := range i.said {
				fmt.Println("   ", s)
			}
		}
	}
}
