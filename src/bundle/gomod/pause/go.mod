module keelwright.dev/bundle/pause

go 1.24
