//! Models of the code that ships, and proof that they see: every notify and every memory order in
//! that code is broken in turn, and some model must find it.
#![cfg(duramen_loom)]

mod columns;
mod control;
mod engine;
mod erasing;
mod jobs;
mod mutants;
mod rewinding;
mod sum;
mod trees;
mod turns;
mod unique;
mod upkeep;
mod watermark;
