//! The Docker Engine.
/// An image.
#[derive(Debug)]
pub struct Image;
/// A network.
#[derive(Debug)]
pub struct Network;
/// A volume.
#[derive(Debug)]
pub struct Volume;
/// A container.
#[derive(Debug)]
pub struct Container;
