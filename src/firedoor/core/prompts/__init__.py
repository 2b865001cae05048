"""What a request asks of the model, text by text: whose words each is, what they ask for, what is left out of them."""
