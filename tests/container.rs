//! The program in containers: nothing that a desktop has, little that a server has, and system calls that are refused.

mod agent;
mod filter;
mod matrix;
mod sandbox;
