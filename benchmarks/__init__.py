"""What tcnfast is measured by; README.md says what each file asks."""
