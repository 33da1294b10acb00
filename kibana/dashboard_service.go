package kibana

// serviceBoard is B.
func serviceBoard() *Dashboard {
	return &Dashboard{ID: serviceID, Letter: "B", Title: "Service", view: &currentView}
}
