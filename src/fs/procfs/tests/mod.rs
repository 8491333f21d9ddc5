//! /proc of a machine of the imagination, read by the calls that programs make.

mod formats;
mod links;
mod model;
mod reading;
mod tree;
