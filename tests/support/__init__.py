"""What tests share: scenes and captures to work on, plain writers of files, and slow references to compare with."""
