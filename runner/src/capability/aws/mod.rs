//! AWS CloudFormation.
/// A stack.
#[derive(Debug)]
pub struct Stack;
/// A change set.
#[derive(Debug)]
pub struct ChangeSet;
