"""What people are shown to label, and who gets which item. No HTTP, no HTML: pages are made of it elsewhere."""
