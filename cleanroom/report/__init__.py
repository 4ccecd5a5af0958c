"""Pictures and pages for people: charts as SVG or PNG, reports as one HTML file; no script, nothing from elsewhere."""
