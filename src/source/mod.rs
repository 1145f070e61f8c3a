//! Gets code onto disk safely: inline, files, ZIP, git.
