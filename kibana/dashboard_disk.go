package kibana

// diskBoard is F.
func diskBoard() *Dashboard {
	return &Dashboard{ID: diskID, Letter: "F", Title: "Disk space", view: &currentView}
}
