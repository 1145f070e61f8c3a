//! The engine without its doors.
